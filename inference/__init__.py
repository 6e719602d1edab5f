# SPDX-License-Identifier: Apache-2.0
"""Programs that super-resolve images with an exported model."""
