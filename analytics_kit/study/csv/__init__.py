"""Split CSV text into rows and cells, whatever its delimiter, quoting and number format."""
