# SPDX-License-Identifier: Apache-2.0
"""Training samples of the systems that `sr_dataset.py` does not serve."""
