# SPDX-License-Identifier: Apache-2.0
"""Networks: what each one takes and gives, its graph, and its export for TensorflowModelServe."""
