"""Every move a job can make; each is one transaction, decided by the database's clock."""
