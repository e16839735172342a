"""What a run did: its typed record `run.json`, and the page made from it, one file of HTML."""
