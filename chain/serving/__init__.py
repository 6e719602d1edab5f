# SPDX-License-Identifier: Apache-2.0
"""From an opened image and a model to a product file."""
