"""Ray Data batch jobs, each runnable with `ray job submit`. None yet: the warehouse brings them."""
