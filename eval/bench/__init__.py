"""Timings: what dropping tokens saves on a machine, beside what it saves on paper."""
