"""Where and with what: Ray, MLflow, the command line. The only package that touches any of them."""
