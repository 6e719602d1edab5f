# SPDX-License-Identifier: Apache-2.0
"""Bodies of OTBTF's applications, for a machine that has OTB but not OTBTF.

The plug-in ``otbapp_<Name>.so`` is an ordinary OTB application whose ``DoInit``, ``DoUpdateParameters`` and
``DoExecute`` call the methods ``init``, ``update_parameters`` and ``execute`` of the class ``<Name>`` in the
module of this package named after it (``PatchesSelection`` in ``patches_selection``). Parameters, streaming,
in-memory connections and writing are OTB's own. What these applications compute follows OTBTF 4.3.1 as it was
seen to behave; ``docs/otbtf_compatibility.md`` lists what matches and what does not.
"""
