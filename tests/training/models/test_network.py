import torch

from model_deployer.training.models.network import Architecture, Network


def network(**changed: object) -> Network:
    sizes = {
        "bins": ((-1.0, 0.0, 1.0), (-1.0, 1.0)),
        "gaps": 1,
        "cardinalities": (3, 2),
        "outputs": 4,
        "members": 5,
        "width": 8,
        "blocks": 2,
        "embedding": 4,
        "dropout": 0.5,
    }
    torch.manual_seed(0)
    return Network(Architecture.model_validate(sizes | changed))


def test_every_member_answers_for_every_output() -> None:
    rows = (torch.rand(7, 2), torch.zeros(7, 1), torch.ones(7, 2, dtype=torch.int64))
    assert network()(*rows).shape == (7, 5, 4)


def test_equal_codes_of_two_columns_mean_different_things() -> None:
    numbers, gaps = torch.zeros(2, 2), torch.zeros(2, 1)
    first, second = network().eval()(numbers, gaps, torch.tensor([[1, 0], [0, 1]]))
    assert not torch.equal(first, second)


def test_what_unknown_means_is_learnt_though_no_row_is_unknown() -> None:
    model = network()
    rows = (torch.rand(4000, 2), torch.zeros(4000, 1), torch.ones(4000, 2, dtype=torch.int64))
    model(*rows).sum().backward()
    assert model.categories is not None
    gradient = model.categories.weight.grad
    assert gradient is not None
    assert (gradient[[0, 3]].abs().sum(1) > 0).all()


def test_work_counts_the_multiplications_of_the_hidden_layers() -> None:
    assert network().work == 5 * ((4 * 4 + 1) * 8 + 8 * 8)
