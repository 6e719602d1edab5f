# SPDX-License-Identifier: Apache-2.0
"""Write the torch files of this folder: tiny networks of DSen2's form, saved in every way torch has.

Needs torch, which the project does not; the files are committed. All networks have random weights.

    pip install torch==2.13.0 && python make_fixtures.py

`io.npz` holds random inputs `x10`, `x20`, `x60` (batch, bands, height, width; in network units) and what each network
makes of them, by the file's name. Where a network leaves the skip to its caller, it is added here.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parent
DEPTH = 4
BLOCKS = 2


class Residual(nn.Module):
    """One tensor in, what the interpolated bands lack out."""

    def __init__(self, inputs, outputs, scale=0.1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, DEPTH, 3, padding="same")
        self.layers = nn.ModuleList(nn.Conv2d(DEPTH, DEPTH, 3, padding="same") for _ in range(2 * BLOCKS))
        self.conv2 = nn.Conv2d(DEPTH, outputs, 3, padding="same")
        self.scale = scale

    def body(self, x):
        x = torch.relu(self.conv1(x))
        first = x
        for index, layer in enumerate(self.layers):
            first = layer(first)
            if index % 2 == 0:
                first = torch.relu(first)
            else:
                x = x + first * self.scale
                first = x
        return self.conv2(x)

    def forward(self, x):
        return self.body(x)


class Two(Residual):
    """The network of the 20 m bands, skip inside."""

    def forward(self, x10, x20):
        return self.body(torch.cat((x10, x20), 1)) + x20


class Three(Residual):
    """The network of the 60 m bands, skip inside."""

    def forward(self, x10, x20, x60):
        return self.body(torch.cat((x10, x20, x60), 1)) + x60


class Block(nn.Module):
    """A residual block with other names, and activations in place."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(DEPTH, DEPTH, 3, padding=1)
        self.a = nn.Conv2d(DEPTH, DEPTH, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return torch.add(x, self.a(self.relu(self.b(x))), alpha=0.1)


class OtherNames(nn.Module):
    """The same network, whose names do not tell the order: the last block is registered first."""

    def __init__(self):
        super().__init__()
        self.tail = nn.Conv2d(DEPTH, 6, 3, padding=1)
        self.late = Block()
        self.early = Block()
        self.head = nn.Conv2d(10, DEPTH, 3, padding=1)

    def forward(self, x10, x20):
        x = torch.cat([x10, x20], dim=-3)
        return x20 + self.tail(self.late(self.early(torch.relu(self.head(x)))))


class Activated(Two):
    """Not DSen2: another activation."""

    def forward(self, x10, x20):
        return torch.tanh(self.body(torch.cat((x10, x20), 1))) + x20


class OtherSkip(Three):
    """Not DSen2: the bands come in another order."""

    def forward(self, x10, x20, x60):
        return self.body(torch.cat((x20, x10, x60), 1)) + x60


class OtherBlock(Two):
    """Not DSen2: no residual addition."""

    def body(self, x):
        x = torch.relu(self.conv1(x))
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.conv2(x)


def main():
    """Write all files."""
    torch.manual_seed(7)
    torch.set_grad_enabled(False)
    x10, x20, x60 = torch.rand(1, 4, 7, 9), torch.rand(1, 6, 7, 9), torch.rand(1, 2, 7, 9)
    io = {"x10": x10, "x20": x20, "x60": x60}
    two, three, residual_two, residual_three = Two(10, 6), Three(12, 2), Residual(10, 6), Residual(12, 2)
    x10x20, all_inputs = torch.cat((x10, x20), 1), torch.cat((x10, x20, x60), 1)

    def save(name, module):
        torch.jit.save(module, str(FOLDER / name))

    save("scripted_2x.pt", torch.jit.script(two.eval()))
    save("traced_2x.pt", torch.jit.trace(two, (x10, x20)))
    save("frozen_2x.pt", torch.jit.freeze(torch.jit.script(two.eval())))
    save("traced_frozen_2x.pt", torch.jit.freeze(torch.jit.trace(two, (x10, x20))))
    for name in ("scripted", "traced", "frozen", "traced_frozen"):
        io[f"{name}_2x.pt"] = two(x10, x20)
    save("scripted_6x.pt", torch.jit.script(three.eval()))
    save("traced_6x.pt", torch.jit.trace(three, (x10, x20, x60)))
    for name in ("scripted", "traced"):
        io[f"{name}_6x.pt"] = three(x10, x20, x60)
    save("residual_2x.pt", torch.jit.script(residual_two.eval()))
    save("residual_frozen_2x.pt", torch.jit.freeze(torch.jit.script(residual_two.eval())))
    io["residual_2x.pt"] = io["residual_frozen_2x.pt"] = residual_two(x10x20) + x20
    save("residual_traced_6x.pt", torch.jit.trace(residual_three, all_inputs))
    io["residual_traced_6x.pt"] = residual_three(all_inputs) + x60
    other = OtherNames()
    save("other_names_2x.pt", torch.jit.script(other.eval()))
    save("other_names_frozen_2x.pt", torch.jit.freeze(torch.jit.script(other.eval())))
    save("other_names_traced_2x.pt", torch.jit.trace(other, (x10, x20)))
    for name in ("other_names", "other_names_frozen", "other_names_traced"):
        io[f"{name}_2x.pt"] = other(x10, x20)
    scaled = Two(10, 6, scale=0.2)
    save("other_scale_2x.pt", torch.jit.script(scaled.eval()))
    io["other_scale_2x.pt"] = scaled(x10, x20)

    torch.save(two.state_dict(), FOLDER / "state_dict_2x.pt")
    torch.save(three.state_dict(), FOLDER / "state_dict_6x.pt")
    torch.save({name: tensor.double() for name, tensor in two.state_dict().items()}, FOLDER / "float64_2x.pt")
    torch.save(two.to(memory_format=torch.channels_last).state_dict(), FOLDER / "channels_last_2x.pt")
    buffer = torch.cat([tensor.flatten() for tensor in two.state_dict().values()])
    sizes = [tensor.numel() for tensor in two.state_dict().values()]
    views = zip(two.state_dict().items(), buffer.split(sizes))
    torch.save({name: view.view(tensor.shape) for (name, tensor), view in views}, FOLDER / "one_buffer_2x.pt")
    torch.save(two.state_dict(), FOLDER / "legacy_2x.pt", _use_new_zipfile_serialization=False)
    for name in ("state_dict", "float64", "channels_last", "one_buffer", "legacy"):
        io[f"{name}_2x.pt"] = two(x10, x20)
    io["state_dict_6x.pt"] = three(x10, x20, x60)

    # Files to refuse
    torch.save(two, FOLDER / "refused_module.pt")
    torch.save({name: tensor.bfloat16() for name, tensor in two.state_dict().items()}, FOLDER / "refused_bfloat16.pt")
    torch.save(other.state_dict(), FOLDER / "refused_order.pt")
    save("refused_skip.pt", torch.jit.script(OtherSkip(12, 2).eval()))
    save("refused_block.pt", torch.jit.script(OtherBlock(10, 6).eval()))
    save("refused_activation.pt", torch.jit.script(Activated(10, 6).eval()))
    np.savez_compressed(FOLDER / "io.npz", **{name: tensor.numpy() for name, tensor in io.items()})


if __name__ == "__main__":
    main()
