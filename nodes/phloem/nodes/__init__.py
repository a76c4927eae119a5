"""The built-in node kinds, one module a family, and the services behind them."""
