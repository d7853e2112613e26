"""The built-in data sets, a file each; a name that begins with an underscore is a helper."""
