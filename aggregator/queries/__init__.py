"""What the aggregator knows, as frozen dataclasses."""
