"""Keep results, uploads and work in progress in a folder or an object store."""
