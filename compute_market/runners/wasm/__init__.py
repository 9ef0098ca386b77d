"""WebAssembly in a child process behind walls: no files, no network, no other processes, bounded memory and time."""
