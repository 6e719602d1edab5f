# SPDX-License-Identifier: Apache-2.0
"""The page that shows a product beside its input: pictures, numbers, doubts, where it comes from."""
