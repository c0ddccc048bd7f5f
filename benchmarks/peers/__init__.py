"""Other systems doing the same job: `python -m benchmarks.peers`, in an environment of its own (requirements.txt).

Each is called as its documentation says, on its own schema, filled in bulk with the tasks of the data set. It is spared
what it cannot do: the organization is part of the value that it filters on, and no order is asked of it.
"""
