"""Tables: rows as objects, read from CSV, JSON and spreadsheets, and written as text."""
