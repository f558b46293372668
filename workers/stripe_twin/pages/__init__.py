"""The pages that customers see: checkout, 3-D Secure challenge, receipt, portal."""
