"""Who was here and when: each visitor's first event, active days and recent visits, and the retention cells of them."""
