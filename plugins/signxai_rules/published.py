"""The published table of methods (Gumpfer et al. 2023), as grids of words and numbers."""

from __future__ import annotations

from typing import Final

from signxai_core.registry import Grid

_SIGNS: Final = ("_x_sign", "_x_sign_mu", "_x_sign_mu_0", "_x_sign_mu_0_5", "_x_sign_mu_neg_0_5")
_THREE: Final = ("lrp", "lrpsign", "lrpz")
_BOX: Final = "_VGG16ILSVRC"
_BEYOND: Final = (
    *("attn", "attn_gamma_0_25", "cp", "cp_gamma_0_25", "gamma_0_25", "zplus", "w2", "flat", "alpha_2_beta_1"),
    *("epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat", "excitation_backprop"),
)

GRIDS: Final = (
    Grid(template="gradient{m}", choices={"m": ("", "_x_input", *_SIGNS)}),
    # A name of its own in the table, although it is gradient_x_input.
    Grid(template="input_t_gradient", canonical="gradient_x_input"),
    Grid(template="{b}{m}", choices={"b": ("guided_backprop", "deconvnet"), "m": ("", *_SIGNS)}),
    Grid(template="integrated_gradients"),
    Grid(template="smoothgrad{m}", choices={"m": ("", "_x_input", *_SIGNS)}),
    Grid(template="vargrad"),
    Grid(template="random_uniform"),
    Grid(template="grad_cam{s}", choices={"s": ("", "_timeseries")}),
    Grid(
        template="{c}_{p}",
        choices={"c": ("grad_cam", "guided_grad_cam"), "p": ("VGG16ILSVRC", "VGG16MITPL365", "MNISTCNN")},
    ),
    Grid(
        template="{i}",
        choices={"i": ("lrp_z", "lrpsign_z", f"zblrp_z{_BOX}", "w2lrp_z", "flatlrp_z")},
    ),
    Grid(
        template="{p}_epsilon_{e}",
        choices={
            "p": _THREE,
            "e": ("0_001", "0_01", "0_1", "0_2", "0_5", "1", "5", "10", "20", "50", "75", "100"),
        },
    ),
    Grid(
        template="zblrp_epsilon_{e}" + _BOX,
        choices={"e": ("0_001", "0_01", "0_1", "0_2", "0_5", "1", "5", "10", "20", "100")},
        aliases={
            "zblrp_epsilon_10_VGG106ILSVRC": "zblrp_epsilon_10_VGG16ILSVRC",
            "zblrp_epsilon_20_VGG206ILSVRC": "zblrp_epsilon_20_VGG16ILSVRC",
        },
    ),
    Grid(
        template="{p}_epsilon_{e}",
        choices={"p": ("w2lrp", "flatlrp"), "e": ("0_01", "0_1", "1", "10", "20", "100")},
    ),
    Grid(
        template="lrpsign_epsilon_{e}_mu_{m}",
        choices={"e": ("100", "0_25_std_x"), "m": ("0", "0_5", "neg_0_5")},
    ),
    Grid(
        template="{p}_epsilon_{e}_std_x",
        choices={"p": _THREE, "e": ("0_1", "0_25", "0_5", "1", "2", "3")},
    ),
    Grid(
        template="{p}_epsilon_{e}_std_x",
        choices={"p": ("w2lrp", "flatlrp"), "e": ("0_1", "0_25", "0_5")},
    ),
    Grid(
        template="zblrp_epsilon_{e}_std_x" + _BOX,
        choices={"e": ("0_1", "0_25", "0_5")},
        aliases={
            "zblrp_epsilon_0_25_std_x_VGG256ILSVRC": "zblrp_epsilon_0_25_std_x_VGG16ILSVRC",
            "zblrp_epsilon_0_5_std_x_VGG56ILSVRC": "zblrp_epsilon_0_5_std_x_VGG16ILSVRC",
        },
    ),
    Grid(
        template="{p}_{c}",
        choices={
            "p": (*_THREE, "w2lrp", "flatlrp"),
            "c": ("alpha_1_beta_0", "sequential_composite_a", "sequential_composite_b"),
        },
    ),
    Grid(
        template="zblrp_{c}" + _BOX,
        choices={"c": ("alpha_1_beta_0", "sequential_composite_a", "sequential_composite_b")},
    ),
    # Beyond the table: every prefix with the other chains.
    Grid(
        template="{p}_{c}",
        choices={"p": (*_THREE, "w2lrp", "flatlrp"), "c": _BEYOND},
        beyond=True,
    ),
    Grid(template="zblrp_{c}" + _BOX, choices={"c": _BEYOND}, beyond=True),
)
