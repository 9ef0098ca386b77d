"""What every use of HiGHS in this process has in common."""

# Process-wide in HiGHS: an object that asks for another number than the first one did ends without a status. The simplex
# uses one thread anyway; what runs side by side here are whole programmes.
THREADS = 1
