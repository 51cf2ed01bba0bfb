import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import AtlasError, IdError
from atlas.ids import MAX_INDEX, MAX_LAYER, NeuronId, TokenId, parse_node, parse_pair

layers = st.integers(0, MAX_LAYER)
indices = st.integers(0, MAX_INDEX)


@given(layers, indices, st.integers(0, 10**6))
def test_every_spelling_reads_as_the_same_neuron(layer: int, neuron: int, position: int) -> None:
    spellings = [
        f"L{layer}/N{neuron}",
        f"L{layer}/{neuron}",
        f"L{layer}_N{neuron}",
        f"L{layer}N{neuron}",
        f"L{layer}_{neuron}",
        f"L{layer}|{neuron}",
        f"{layer}_{neuron}",
        f"{layer}_{neuron}_{position}",
        f"{layer}/{neuron}",
    ]
    assert {NeuronId.parse(text) for text in spellings} == {NeuronId(layer, neuron)}


@given(layers, indices)
def test_packing_is_reversible_and_pairs_fit_a_signed_int64(layer: int, neuron: int) -> None:
    packed = NeuronId(layer, neuron).packed
    assert NeuronId.unpack(packed) == (layer, neuron)
    assert 0 <= packed << 31 | packed < 2**63


@pytest.mark.parametrize(
    "text", ["", "x", "24", "L24", "N5", "1_-1_3", "L24/N", "L24//N5", "٣_٤", "24_5_6_7", "L1/N2\n", " L1/N2"]
)
def test_a_wrong_id_names_itself(text: str) -> None:
    with pytest.raises(IdError) as caught:
        NeuronId.parse(text)
    assert repr(text)[1:-1] in str(caught.value)
    assert isinstance(caught.value, AtlasError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["L128/N0", "0_16777216", "L999999999999999999999/N1"])
def test_what_does_not_fit_the_key_is_an_error_with_the_bounds(text: str) -> None:
    with pytest.raises(IdError, match=r"0 to 127.*0 to 16777215"):
        NeuronId.parse(text)


def test_the_largest_neuron_fits() -> None:
    assert NeuronId.parse("L127/N16777215").packed == 2**31 - 1


@pytest.mark.parametrize("packed", [-1, 2**31])
def test_a_number_of_more_bits_is_no_packed_neuron(packed: int) -> None:
    with pytest.raises(IdError):
        NeuronId.unpack(packed)


def test_tokens_are_no_neurons() -> None:
    for text, expected in {
        "E_128000_0": TokenId("embedding", 128000),
        "E_791": TokenId("embedding", 791),
        "EMB/791": TokenId("embedding", 791),
        "L_3681_4": TokenId("logit", 3681),
        "L_3681": TokenId("logit", 3681),
        "LOGIT/3681": TokenId("logit", 3681),
    }.items():
        assert parse_node(text) == expected
        with pytest.raises(IdError, match="token, not a neuron"):
            NeuronId.parse(text)
    assert parse_node("L24_5326") == NeuronId(24, 5326)


def test_edge_keys_of_old_checkpoints() -> None:
    assert parse_pair("L24|5326|L25|99") == (NeuronId(24, 5326), NeuronId(25, 99))
    with pytest.raises(IdError):
        parse_pair("L24|5326|L25")


def test_qwen_feature_ids() -> None:
    assert NeuronId.from_feature_id(819222, 25600) == NeuronId(32, 22)
    with pytest.raises(IdError):
        NeuronId.from_feature_id(-1, 25600)
    with pytest.raises(IdError):
        NeuronId.from_feature_id(5, 0)


def test_the_canonical_spelling() -> None:
    assert str(NeuronId(24, 5326)) == "L24/N5326"
