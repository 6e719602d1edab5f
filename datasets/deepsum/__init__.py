# SPDX-License-Identifier: Apache-2.0
"""DeepSUM's training samples: scenes of the PROBA-V challenge, and records made from them."""
