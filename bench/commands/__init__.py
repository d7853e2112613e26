"""The commands of the command line, one module each, and the options they share."""
