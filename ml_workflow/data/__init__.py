"""Tables, sources, joins, history, split, contract, corruptions, and the pipeline that runs them."""
