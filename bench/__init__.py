"""The performance promises of the specs, measured on the machine at hand: ``make bench``."""
