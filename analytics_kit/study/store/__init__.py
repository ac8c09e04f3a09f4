"""Keep results, uploads and work in progress in a folder or an object store.

paths.py         spells the layout; no other file does
store.py         files below a root, committed so that a reader sees all or nothing
manifests.py     what the manifests hold that make folders readable
atomic_write.py  how one file is written whole and durably
remote_file.py   how a file of an object store is read
event_parquet.py, event_reading.py  event tables as Parquet
uploads.py       copies of studies that users uploaded
retention.py     what is removed, and when
"""
