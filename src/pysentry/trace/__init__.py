"""What a run did: call traces and the report."""
