"""HTTP/1.1 from a socket straight into its final memory: the exchange, its two drivers, connections and retries."""
