"""Process a study: from its archive of logs to the tables of results, without queues, HTTP or Jupyter.

The folders are the stages of the data. A folder imports only from itself and from those above it in this list:

schema
    Names, types and small values that all stages share.
archive
    Find the members of a study in a ZIP or a folder, within limits, and inflate them.
csv
    Split text into rows and cells.
formats
    Recognise the format of the logs; find the trials, and the role and trial of each member.
events
    Read members into event tables, grouped by trial.
metrics
    Compute a value for each trial and metric from the event tables.
store
    Keep uploads and results as files, event tables as Parquet.
pipeline
    Plan the shards of a study, process them and merge their results.
result
    Open a stored result as DataFrames, and analyse it.
sample
    Simulate a study whose behaviour is known, and write it as a ZIP.
"""
