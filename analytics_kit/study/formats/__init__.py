"""The log formats, one file each: what each file of a study is, and which trial it belongs to."""
