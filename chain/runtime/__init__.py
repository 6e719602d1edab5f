# SPDX-License-Identifier: Apache-2.0
"""How programs run: command line, files that appear whole, threads and memory, what a result was made of."""
