"""A market that speaks by CSV files in a folder, as many do over SFTP or by upload."""
