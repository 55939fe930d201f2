"""Jobs that only the tests have: each shows one promise that holds for every job."""
