"""OpenADR 3.1 as a virtual top node: grid operators and virtual end nodes call us, below /openadr3/3.1.0/."""
