"""Pages as text: HTML in, the article out. Nothing here reads a file or opens a connection."""
