# SPDX-License-Identifier: Apache-2.0
"""In which precision a network is served, and models made for it."""
