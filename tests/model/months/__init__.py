"""Months of stories in many organizations: jobs run often, seldom or once leave the same ledgers."""
