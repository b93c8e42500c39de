"""Batch jobs without their framework: names, arguments, the record of every run, and when each is due."""
