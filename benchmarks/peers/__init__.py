"""Other systems doing the same job: `python -m benchmarks.peers`, in an environment of its own (requirements.txt).

Each is called as its documentation says, on its own schema, filled in bulk with the tasks of the data set. It need not
do what it does not support: the organization is part of the value that it filters by, and no order is required.
"""
