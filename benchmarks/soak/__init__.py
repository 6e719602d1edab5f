# SPDX-License-Identifier: Apache-2.0
"""A soak: readers fed with damage, programs killed and starved, for as long as one likes. `make soak` runs it."""
