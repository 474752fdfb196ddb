"""Our own modules against the libraries they were written after; see `make parity`."""
