"""Suitability of networks: whether one can be built for the images of a data set."""

from __future__ import annotations

import torch

from bench.contracts import DataInfo, Defense, Network
from bench.errors import RequestError
from bench.failures import input_reason
from bench.plugins.configured import Configured
from bench.plugins.faults import plugin_request
from bench.stages.seeding import seeded

_CPU = torch.device("cpu")


def check_network(plugin: Configured[Network], info: DataInfo) -> None:
    """Check that a network can be built for images, before anything is computed.

    Args:
        plugin: classifier or defense.
        info: shape of the images and number of classes.

    Raises:
        RequestError: the network does not suit the images, a file cannot be read, or the plugin
            raises.
    """
    family = "defense" if isinstance(plugin.plugin, Defense) else "classifier"
    description = f"{family} '{plugin.label}'"
    with seeded(_CPU, "suitability"), plugin_request(description):
        try:
            plugin.plugin.check_data(info)
        except (ValueError, OSError) as error:
            raise RequestError(f"{description}: {input_reason(error)}") from error
