"""What handing a right over costs, beside what the kernel charges for its parts: make bench."""
