"""Models of everything but images: graphs, tables, time series, video, audio, policies, molecules, spikes."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs.packages.images import Model

_NODES = "f11,8; i2,23<11"
_NET: dict[str, Any] = {"in_channels": 8, "hidden_channels": 16, "num_layers": 2, "out_channels": 3}
_CONV: dict[str, Any] = {"in_channels": 8, "out_channels": 4}
_GRAPHS: tuple[Model, ...] = (
    *((f"torch_geometric.nn.models.{name}", _NET, _NODES) for name in ("GCN", "GraphSAGE", "GIN", "GAT", "EdgeCNN")),
    *(
        (f"torch_geometric.nn.{name}", {**_CONV, **more}, _NODES)
        for name, more in (
            *((name, {}) for name in ("GCNConv", "SAGEConv", "GATConv", "GATv2Conv", "GraphConv", "TAGConv", "SGConv", "ARMAConv", "TransformerConv", "LEConv", "ClusterGCNConv", "GENConv", "SuperGATConv", "MFConv", "FeaStConv", "FiLMConv", "ResGatedGraphConv", "EGConv", "GeneralConv")),
            ("ChebConv", {"K": 2}),
            ("SSGConv", {"alpha": 0.1}),
            ("HypergraphConv", {}),
        )
    ),
    ("torch_geometric.nn.models.MLP", {"channel_list": [8, 16, 3]}, "f11,8"),
    ("torch_geometric.nn.GraphUNet", {**_CONV, "hidden_channels": 16, "depth": 2}, _NODES),
    ("torch_geometric.nn.models.LINKX", {"num_nodes": 11, **_NET}, _NODES),
    ("torch_geometric.nn.models.AttentiveFP", {**_NET, "edge_dim": 4, "num_timesteps": 2}, "f11,8; i2,23<11; f23,4; i11<2"),
    ("torch_geometric.nn.models.SchNet", {"hidden_channels": 16, "num_filters": 16, "num_interactions": 2, "num_gaussians": 8}, "i11<9; f11,3"),
    ("torch_geometric.nn.models.LightGCN", {"num_nodes": 11, "embedding_dim": 8, "num_layers": 2}, "i2,23<11"),
    ("torch_geometric.nn.GatedGraphConv", {"out_channels": 8, "num_layers": 2}, _NODES),
    ("torch_geometric.nn.FAConv", {"channels": 8}, "f11,8; f11,8; i2,23<11"),
    ("torch_geometric.nn.DenseGCNConv", _CONV, "f2,11,8; f2,11,11"),
    ("torch_geometric.nn.DenseSAGEConv", _CONV, "f2,11,8; f2,11,11"),
    ("torch_geometric.nn.DenseGraphConv", _CONV, "f2,11,8; f2,11,11"),
    ("torch_geometric.nn.TopKPooling", {"in_channels": 8}, _NODES),
    ("torch_geometric.nn.SAGPooling", {"in_channels": 8}, _NODES),
    ("torch_geometric.nn.Set2Set", {"in_channels": 8, "processing_steps": 2}, "f11,8; i11<1"),
    ("torch_geometric.nn.GraphNorm", {"in_channels": 8}, "f11,8"),
    ("egnn_pytorch.EGNN", {"dim": 8, "edge_dim": 4}, "f2,11,8; f2,11,3; f2,11,11,4"),
    ("egnn_pytorch.EGNN_Network", {"num_tokens": 21, "dim": 8, "depth": 1, "num_nearest_neighbors": 4}, "i2,11<21; f2,11,3"),
    ("e3nn.nn.FullyConnectedNet", {"hs": [8, 16, 3]}, "f2,8"),
    ("e3nn.o3.Linear", {"irreps_in": "4x0e+2x1o", "irreps_out": "2x0e+1x1o"}, "f2,10"),
)  # fmt: skip

_SERIES: dict[str, Any] = {"c_in": 3, "c_out": 2}
_LONG: dict[str, Any] = {**_SERIES, "seq_len": 30}
_TSAI: tuple[Model, ...] = (
    *(
        (f"tsai.models.{name}.{name}", arguments, "f2,3,30")
        for name, arguments in (
            *((name, _SERIES) for name in ("FCN", "ResNet", "ResCNN", "InceptionTime", "XceptionTime", "InceptionTimePlus", "XceptionTimePlus", "FCNPlus", "ResNetPlus", "TCN", "TransformerModel", "MLP")),
            *((name, _LONG) for name in ("TST", "TSTPlus", "TSiTPlus", "OmniScaleCNN", "XCM", "XCMPlus", "mWDN", "gMLP", "TSPerceiver", "TSSequencerPlus", "MLP", "ConvTranPlus")),
        )
    ),
    *((f"tsai.models.RNN.{name}", _SERIES, "f2,3,30") for name in ("RNN", "LSTM", "GRU")),
    *((f"tsai.models.RNNPlus.{name}", _SERIES, "f2,3,30") for name in ("LSTMPlus", "GRUPlus")),
    *((f"tsai.models.RNN_FCN.{name}", {**_LONG}, "f2,3,30") for name in ("LSTM_FCN", "GRU_FCN", "MLSTM_FCN")),
    ("tsai.models.PatchTST.PatchTST", {"c_in": 3, "c_out": 3, "seq_len": 36, "pred_dim": 6}, "f2,3,36"),
    ("tsai.models.TabTransformer.TabTransformer", {"classes": {"a": ["x", "y"], "b": ["u", "v", "w"]}, "cont_names": ["c", "d"], "c_out": 2}, ""),
)  # fmt: skip

_TABLES: tuple[Model, ...] = (
    ("pytorch_tabnet.tab_network.TabNet", {"input_dim": 12, "output_dim": 2, "n_d": 4, "n_a": 4, "n_steps": 2, "group_attention_matrix": None}, "f16,12"),
    ("pytorch_tabnet.tab_network.TabNetPretraining", {"input_dim": 12, "n_d": 4, "n_a": 4, "n_steps": 2, "group_attention_matrix": None}, "f16,12"),
    ("tab_transformer_pytorch.TabTransformer", {"categories": (4, 5, 6), "num_continuous": 3, "dim": 16, "depth": 1, "heads": 2, "dim_out": 1}, "i2,3<4; f2,3"),
    ("tab_transformer_pytorch.FTTransformer", {"categories": (4, 5, 6), "num_continuous": 3, "dim": 16, "depth": 1, "heads": 2, "dim_out": 1}, "i2,3<4; f2,3"),
)  # fmt: skip

_SEQUENCES: tuple[Model, ...] = (
    ("conformer.Conformer", {"dim": 32, "depth": 1, "dim_head": 8, "heads": 2, "conv_kernel_size": 7}, "f2,20,32"),
    ("conformer.ConformerConvModule", {"dim": 32}, "f2,20,32"),
    ("performer_pytorch.PerformerLM", {"num_tokens": 50, "max_seq_len": 32, "dim": 32, "depth": 1, "heads": 2, "dim_head": 16}, "i2,16<50"),
    ("performer_pytorch.Performer", {"dim": 32, "depth": 1, "heads": 2, "dim_head": 16}, "f2,16,32"),
    ("perceiver_pytorch.Perceiver", {"num_freq_bands": 2, "max_freq": 4.0, "depth": 1, "num_latents": 4, "latent_dim": 16, "cross_dim_head": 8, "latent_heads": 2, "latent_dim_head": 8, "num_classes": 5, "self_per_cross_attn": 1}, "f2,16,16,3"),
    ("perceiver_pytorch.PerceiverIO", {"dim": 8, "queries_dim": 8, "depth": 1, "num_latents": 4, "latent_dim": 16}, "f2,16,8"),
    ("perceiver_pytorch.PerceiverLM", {"num_tokens": 50, "dim": 16, "max_seq_len": 32, "depth": 1, "num_latents": 4, "latent_dim": 16}, "i2,16<50"),
    ("vector_quantize_pytorch.VectorQuantize", {"dim": 16, "codebook_size": 12, "learnable_codebook": True, "ema_update": False}, "f2,20,16"),
    ("vector_quantize_pytorch.ResidualVQ", {"dim": 16, "codebook_size": 12, "num_quantizers": 2, "learnable_codebook": True, "ema_update": False}, "f2,20,16"),
    ("vector_quantize_pytorch.FSQ", {"levels": [4, 4, 4], "dim": 16}, "f2,20,16"),
    ("vector_quantize_pytorch.LFQ", {"codebook_size": 16, "dim": 16}, "f2,20,16"),
    ("lightning.pytorch.demos.transformer.Transformer", {"vocab_size": 50, "ninp": 16, "nhead": 2, "nhid": 16, "nlayers": 1}, "i2,7<50; i2,7<50"),
    ("lightning.pytorch.demos.boring_classes.BoringModel", {}, "f2,32"),
)  # fmt: skip

_VIDEOS: tuple[Model, ...] = (
    ("timesformer_pytorch.TimeSformer", {"dim": 32, "image_size": 32, "patch_size": 16, "num_frames": 4, "num_classes": 5, "depth": 1, "heads": 2, "dim_head": 16}, "f2,4,3,32,32"),
    ("pytorchvideo.models.resnet.create_resnet", {"model_depth": 50, "stem_dim_out": 8, "model_num_class": 5, "head_pool_kernel_size": (1, 2, 2)}, "f2,3,4,64,64"),
    ("pytorchvideo.models.x3d.create_x3d", {"input_clip_length": 4, "input_crop_size": 64, "model_num_class": 5, "width_factor": 1.0, "depth_factor": 1.0}, "f2,3,4,64,64"),
    ("pytorchvideo.models.r2plus1d.create_r2plus1d", {"model_num_class": 5, "stem_dim_out": 8, "head_pool_kernel_size": (1, 4, 4)}, "f2,3,4,64,64"),
    ("pytorchvideo.models.csn.create_csn", {"model_num_class": 5, "stem_dim_out": 8, "head_pool_kernel_size": (1, 2, 2)}, "f2,3,4,64,64"),
)  # fmt: skip

_OPERATORS: tuple[Model, ...] = (
    ("neuralop.models.FNO", {"n_modes": (4, 4), "in_channels": 1, "out_channels": 1, "hidden_channels": 8, "n_layers": 2}, "f2,1,16,16"),
    ("neuralop.models.FNO1d", {"n_modes_height": 4, "in_channels": 1, "out_channels": 1, "hidden_channels": 8, "n_layers": 2}, "f2,1,16"),
    ("neuralop.models.TFNO", {"n_modes": (4, 4), "in_channels": 1, "out_channels": 1, "hidden_channels": 8, "n_layers": 2}, "f2,1,16,16"),
    ("neuralop.models.UNO", {"in_channels": 1, "out_channels": 1, "hidden_channels": 8, "uno_out_channels": [8, 8, 8], "uno_n_modes": [[4, 4], [4, 4], [4, 4]], "uno_scalings": [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], "n_layers": 3}, "f2,1,16,16"),
)  # fmt: skip

MODELS: tuple[Model, ...] = (*_GRAPHS, *_TSAI, *_TABLES, *_SEQUENCES, *_VIDEOS, *_OPERATORS)
