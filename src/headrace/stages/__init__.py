"""The stages of the pipeline: each wraps a station's functions in the runner, so that what is done is
skipped and what is done anew is metered and committed whole. `headrace.pipeline` says in which order."""
