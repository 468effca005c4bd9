"""The state of all datasets on one page: facts from the views of the ledger, problems, and three ways to print them."""
