"""From records to verdicts, tables, figures and the report: pure functions, no training."""
