"""The WebAssembly plugin host."""
