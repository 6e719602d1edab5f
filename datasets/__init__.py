# SPDX-License-Identifier: Apache-2.0
"""Training samples of the systems whose data are not made by `sr_dataset.py`."""
